-- needs: slide
-- Set the title of a conversation; or let its deadline slide, or give it another lifetime.
-- ARGV  id, owner, 1 if only that owner's counts, 'title', title, layout; or 'lifetime', lifetime,
--       default, the deadline ('' for that of the lifetime)
-- Returns whether the conversation exists (for that owner), or {'sealed', key}.
local stored, before = enter()
if type(before) == 'number' then return before end
if not stored.exists or (ARGV[3] == '1' and stored.owner ~= owner) then return 0 end
if ARGV[4] == 'title' then
  local refused = unsealed(stored, ARGV[6])
  if refused then return refused end
  redis.call('HSET', record, 'title', ARGV[5])
  return answer(1)
end
local lifetime, time = ARGV[5], clock()
-- From a given deadline the lifetime is made here: the clock of the caller may be another one.
if ARGV[7] ~= '' then lifetime = math.max(1, tonumber(ARGV[7]) - time) end
slide(stored, lifetime, ARGV[6], time)
return answer(1)
