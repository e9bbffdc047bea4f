-- needs: conversation
-- Let the deadline of a conversation slide, after giving it another lifetime ('' for none).
local function slide(stored, lifetime, default)
  local deadline = deadline_of(stored, clock(), lifetime, default)
  list_deadline(deadline)
  -- What another program wrote over a long document must not look untouched by getting a time.
  if stored.size > LONG and not is_untouched() then
    redis.call('HSET', record, 'version', stored.version + 1)
  end
  expire(stored, deadline, stored.size)
  redis.call('HSET', record, 'expires', deadline or '')
  if lifetime ~= '' then redis.call('HSET', record, 'ttl', lifetime) end
end
