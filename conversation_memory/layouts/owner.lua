-- Give a conversation to another owner.
--
-- KEYS  ... , order of the new owner, last
-- ARGV  id, owner, new owner ('' nobody)
-- Returns 1, 0 if there is no such conversation, or a refusal (prelude.lua).
local stored = open()
local refused = refusal(stored)
if refused then return refused end
if not stored.exists then return 0 end
if owned then redis.call('ZREM', owned, id) end
if ARGV[3] == '' then
  redis.call('HDEL', record, 'owner')
else
  redis.call('ZADD', KEYS[#KEYS], stored.updated or clock(), id)
  redis.call('HSET', record, 'owner', ARGV[3])
end
redis.call('HSET', record, 'version', stored.version + 1)
return 1
