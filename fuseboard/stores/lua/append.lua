-- Append the events of a notification to the outbox, with its journal entry: all of them, or none.
--
-- KEYS  1 outbox (stream)  2 journal of the ingest (stream)
-- ARGV  1 how many events the outbox may hold  2 journal entry  3… events
-- Reply 1 if appended, 0 if the outbox is full.
if redis.call('XLEN', KEYS[1]) + #ARGV - 2 > tonumber(ARGV[1]) then return 0 end
for i = 3, #ARGV do redis.call('XADD', KEYS[1], '*', 'event', ARGV[i]) end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', JOURNAL_CAP, '*', 'entry', ARGV[2])
return 1
