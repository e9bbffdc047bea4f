-- Set the title of a conversation that exists.
--
-- ARGV  id, owner, whether the owner counts, title
-- Returns whether the conversation exists (for that owner).
if not alive() then return 0 end
if ARGV[3] == '1' and (redis.call('HGET', record, 'owner') or '') ~= owner then return 0 end
redis.call('HSET', record, 'title', ARGV[4])
return 1
