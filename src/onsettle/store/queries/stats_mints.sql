select status, count(*) as count from mint_queue group by status
