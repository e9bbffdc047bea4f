-- After the HSET of a long document, in the same MULTI: take it back if guard.lua refused it, and
-- let the field expire with the conversation, which an HSET forgets.
--
-- KEYS  content, record, aside
-- ARGV  id
local before = redis.call('HMGET', KEYS[3], 'document', 'absent')
if before[1] then redis.call('HSET', KEYS[1], ARGV[1], before[1]) end
if before[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
if before[1] or before[2] then redis.call('HDEL', KEYS[3], 'document', 'absent') end
local deadline = redis.pcall('HMGET', KEYS[2], 'expires')[1]
if type(deadline) == 'string' and deadline ~= '' then
  redis.pcall('HPEXPIREAT', KEYS[1], deadline, 'FIELDS', 1, ARGV[1])
end
return 0
