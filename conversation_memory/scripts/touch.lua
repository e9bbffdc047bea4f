-- needs: conversation
-- Set the title of a conversation; or let its deadline slide, or give it another lifetime.
-- ARGV  id, owner, 1 if only that owner's counts, 'title', title; or 'lifetime', lifetime, default,
--       the deadline ('' for that of the lifetime)
-- Returns whether the conversation exists (for that owner).
local stored, before = enter()
if type(before) == 'number' then return before end
if not stored.exists or (ARGV[3] == '1' and stored.owner ~= owner) then return 0 end
if ARGV[4] == 'title' then
  redis.call('HSET', record, 'title', ARGV[5])
  return answer(1)
end
local time, lifetime = clock(), ARGV[5]
-- From a given deadline the lifetime is made here: the clock of the caller may be another one.
if ARGV[7] ~= '' then lifetime = math.max(1, tonumber(ARGV[7]) - time) end
local deadline = deadline_of(stored, time, lifetime, ARGV[6])
list_deadline(deadline)
-- What another program wrote over a long document must not look untouched by getting a time.
if stored.size > LONG and not is_untouched() then
  redis.call('HSET', record, 'version', stored.version + 1)
end
expire(stored, deadline, stored.size)
redis.call('HSET', record, 'expires', deadline or '')
if lifetime ~= '' then redis.call('HSET', record, 'ttl', lifetime) end
return answer(1)
