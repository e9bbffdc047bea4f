-- Let the deadline of a conversation slide as a write does, or give it another lifetime.
--
-- ARGV  id, owner, whether the owner counts, lifetime, default lifetime
-- Returns whether the conversation exists (for that owner).
if not alive() then return 0 end
if ARGV[3] == '1' and (redis.call('HGET', record, 'owner') or '') ~= owner then return 0 end
slide(clock(), ARGV[4], ARGV[5])
return 1
