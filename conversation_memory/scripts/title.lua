-- needs: conversation
--
-- Set the title of a conversation that exists.
--
-- ARGV  id, owner, whether the owner counts, title
-- Returns whether the conversation exists (for that owner).
local stored, before = enter()
if type(before) == 'number' then return before end
if not stored.exists or (ARGV[3] == '1' and stored.owner ~= owner) then return 0 end
redis.call('HSET', record, 'title', ARGV[4])
return answer(1)
