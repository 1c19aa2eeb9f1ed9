"""What a payment is and what may happen to it. Pure: no clock, no network, no database."""
