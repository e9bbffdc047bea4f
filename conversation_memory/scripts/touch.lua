-- needs: slide
-- Set the title of a conversation; or let its deadline slide, or give it another lifetime.
-- ARGV  id, owner, 1 if only that owner's counts, 'title', title; or 'lifetime', lifetime, default
-- Returns whether the conversation exists (for that owner).
local stored, before = enter()
if type(before) == 'number' then return before end
if not stored.exists or (ARGV[3] == '1' and stored.owner ~= owner) then return 0 end
if ARGV[4] == 'title' then
  redis.call('HSET', record, 'title', ARGV[5])
  return answer(1)
end
slide(stored, ARGV[5], ARGV[6])
return answer(1)
