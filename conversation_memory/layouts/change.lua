-- Layout `list`: edit or remove the run at an index, or all behind it, if it is still the one there.
--
-- ARGV  id, owner, lifetime, default lifetime, 'edit' | 'remove' | 'truncate', index, text of the
--       run there, then its new text ('edit'), its id as JSON ('remove') or the ids to remember
-- Returns the number of runs left, {'owner', its owner}, or {'changed'}.
local operation, index, text, given = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local exists = alive()
local other = other_owner(exists)
if other then return {'owner', other} end
if not exists or redis.call('LINDEX', runs, index) ~= text then return {'changed'} end
local shrunk = 0
if operation == 'edit' then
  redis.call('LSET', runs, index, given)
  shrunk = #text - #given
elseif operation == 'truncate' then
  for _, cut in ipairs(redis.call('LRANGE', runs, index + 1, -1)) do shrunk = shrunk + #cut end
  redis.call('LTRIM', runs, 0, index)
  redis.call('HSET', record, 'ids', given)
else
  local tombstone = 'removed ' .. redis.sha1hex(text)
  redis.call('LSET', runs, index, tombstone)
  redis.call('LREM', runs, 1, tombstone)
  shrunk = #text
  local ids = redis.call('HGET', record, 'ids') or '\n'
  local first, last = ids:find('\n' .. given .. '\n', 1, true)
  if first then redis.call('HSET', record, 'ids', ids:sub(1, first) .. ids:sub(last + 1)) end
end
redis.call('HINCRBY', record, 'bytes', -shrunk)
local count = redis.call('LLEN', runs)
touch(count, redis.call('HGET', record, 'seal') or '', ARGV[3], ARGV[4])
return count
