-- needs: common
-- Search documents of no conversation: their token is unknown, or the set that lists them was lost.
-- KEYS  root
-- ARGV  'ask' or 'delete', then keys of documents
-- Returns how many there are; with 'ask', their keys.
local root = KEYS[1]

local function is_orphan(key)
  local token, suffix = key:match('^(%x+):(%x+)$', #root + #'run:' + 1)
  if not token then return false end  -- not a name of ours
  local known = redis.call('HEXISTS', root .. 'tokens', token) == 1
  return not (known and tolerant('SISMEMBER', root .. 'documents:' .. token, suffix) == 1)
    and redis.call('EXISTS', key) == 1
end

local found = {}
for i = 2, #ARGV do
  if is_orphan(ARGV[i]) then found[#found + 1] = ARGV[i] end
end
if ARGV[1] == 'ask' then return found end
for _, key in ipairs(found) do redis.call('UNLINK', key) end
if #found > 0 then redis.call('HINCRBY', root .. 'search', 'documents', -#found) end
return #found
