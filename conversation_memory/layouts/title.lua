-- Set the title of a conversation that exists.
--
-- KEYS  content, record
-- ARGV  id, whether the owner counts, owner ('' none), title
-- Returns whether the conversation exists (for that owner).
local id, scoped, owner, title = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if redis.call('HEXISTS', KEYS[1], id) == 0 then return 0 end
if scoped == '1' and (redis.call('HGET', KEYS[2], 'owner') or '') ~= owner then return 0 end
redis.call('HSET', KEYS[2], 'title', title)
return 1
