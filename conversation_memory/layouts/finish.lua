-- After the HSET of a document, in the same MULTI: take it back if guard.lua refused it, and let
-- the field expire with the conversation, which an HSET forgets.
--
-- ARGV  id, owner
local before = redis.call('HMGET', aside, 'document', 'absent')
if before[1] then redis.call('HSET', content, id, before[1]) end
if before[2] then redis.call('HDEL', content, id) end
redis.call('DEL', aside)
local deadline = redis.pcall('HGET', record, 'expires')
if type(deadline) == 'string' and deadline ~= '' then
  redis.pcall('HPEXPIREAT', content, deadline, 'FIELDS', 1, id)
end
return 0
