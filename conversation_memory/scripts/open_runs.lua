-- needs: common
-- KEYS  open runs of conversations
-- Returns the fields and values of each, none of a key of another type.
local found = {}
for i, key in ipairs(KEYS) do
  local type = redis.call('TYPE', key).ok
  found[i] = type == 'hash' and redis.call('HGETALL', key) or {}
end
return found
