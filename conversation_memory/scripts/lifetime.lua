-- needs: conversation
--
-- Let the deadline of a conversation slide as a write does, or give it another lifetime.
--
-- ARGV  id, owner, whether the owner counts, lifetime, default lifetime
-- Returns whether the conversation exists (for that owner).
local stored, before = enter()
if type(before) == 'number' then return before end
if not stored.exists or (ARGV[3] == '1' and stored.owner ~= owner) then return 0 end
local deadline = deadline_of(stored, clock(), ARGV[4], ARGV[5])
if deadline then redis.call('ZADD', expiry, deadline, id) else redis.call('ZREM', expiry, id) end
-- What another program wrote over a long document must not look untouched by getting a time.
if stored.size > LONG and not is_untouched() then
  redis.call('HSET', record, 'version', stored.version + 1)
end
expire(stored, deadline, stored.size)
redis.call('HSET', record, 'expires', deadline or '')
if ARGV[4] ~= '' then redis.call('HSET', record, 'ttl', ARGV[4]) end
return answer(1)
