-- Identities outlive a truncate as they outlive a delete.
create trigger payment_queue_identities_stay_whole before truncate on payment_queue
    for each statement execute function identities_stay();
