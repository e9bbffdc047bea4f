-- needs: common
-- The names of the checkpoints of a conversation, of all or of those of one run of the graph.
-- KEYS  content, record, checkpoints
-- ARGV  id, 1 if only that owner's counts, owner, then fields of runs, if one of them must be there
-- Returns the fields.
local content, record, checkpoints = unpack(KEYS)
local owner, expires = unpack(redis.call('HMGET', record, 'owner', 'expires'))
if ARGV[2] == '1' and (owner or '') ~= ARGV[3] then return {} end
expires = expires and number(expires)
if expires and expires <= clock() then return {} end
if redis.call('HEXISTS', content, ARGV[1]) == 0 then return {} end
local is_wanted, found = #ARGV == 3, {}
for i = 4, #ARGV do
  is_wanted = is_wanted or redis.call('HEXISTS', checkpoints, ARGV[i]) == 1
end
for _, field in ipairs(is_wanted and redis.call('HKEYS', checkpoints) or {}) do
  if field:sub(1, 1) == 'c' then found[#found + 1] = field end
end
return found
