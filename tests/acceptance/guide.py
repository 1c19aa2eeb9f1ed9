"""Every SQL statement of the guide that this product grew from, as it stands there."""

#: Deployment, step 1.
MIGRATION = (
    "ALTER TABLE payment_queue DROP CONSTRAINT IF EXISTS payment_queue_status_check;",
    """ALTER TABLE payment_queue 
  ADD CONSTRAINT payment_queue_status_check 
  CHECK (status IN ('pending', 'processing', 'sent', 'completed', 'failed', 'confirmation_failed'));
""",
    """CREATE INDEX IF NOT EXISTS idx_payment_queue_sent_processed
  ON payment_queue(status, processed_at)
  WHERE status = 'sent';
""",
)  # fmt: skip

#: Monitoring.
OVERALL = """SELECT status, COUNT(*) 
FROM payment_queue 
GROUP BY status;
"""
AWAITING = """SELECT COUNT(*) as awaiting_confirmation
FROM payment_queue 
WHERE status = 'sent' 
AND processed_at > NOW() - INTERVAL '5 minutes';
"""
STUCK = """SELECT id, payer, tx_hash, processed_at,
       EXTRACT(EPOCH FROM (NOW() - processed_at)) as seconds_waiting
FROM payment_queue 
WHERE status = 'sent' 
AND processed_at < NOW() - INTERVAL '5 minutes'
ORDER BY processed_at ASC;
"""

#: Configuration.
CONFIGURE = (
    """UPDATE system_settings 
SET value = '2000' 
WHERE key = 'payment_batch_interval_ms';
""",
    """UPDATE system_settings 
SET value = '50' 
WHERE key = 'payment_batch_size';
""",
)

#: Troubleshooting.
NEWEST_SENT = (
    "SELECT * FROM payment_queue WHERE status = 'sent' ORDER BY processed_at DESC LIMIT 10;"
)
MANUAL_RESET = """UPDATE payment_queue 
SET status = 'confirmation_failed', 
    error = 'Manual reset - stuck in sent'
WHERE status = 'sent' 
AND processed_at < NOW() - INTERVAL '10 minutes';
"""
MINT_QUEUE = "SELECT status, COUNT(*) FROM mint_queue GROUP BY status;"

#: Performance tuning, for high volume.
TUNE = (
    "UPDATE system_settings SET value = '1000' WHERE key = 'payment_batch_interval_ms';"
    "  -- 1 second",
    "UPDATE system_settings SET value = '100' WHERE key = 'payment_batch_size';  -- 100 per batch",
)

ROLLBACK = """UPDATE payment_queue 
SET status = 'failed', 
    error = 'Rollback to sync processing'
WHERE status = 'sent';
"""

#: Emergency.
QUEUE_DEPTH = "SELECT COUNT(*) FROM payment_queue WHERE status = 'pending';"
