-- needs: conversation, documents
-- Layout `list`: edit or remove the run at an index, or all behind it, if it is still there.
-- ARGV  id, owner, lifetime, default lifetime, 'edit' | 'remove' | 'truncate', index, text of the
--       run there, its new text ('edit'), change of search documents, for 'truncate' without those
--       that go; then digests of the ids of those that go
-- Returns the number of runs left, a refusal (conversation.lua), or {'changed'}.
local operation, position, text, given = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local stored, refused = enter()
if refused then return refused end
if not stored.exists or redis.call('LINDEX', runs, position) ~= text then return {'changed'} end
local removed = #ARGV - 9
if operation == 'truncate' and redis.call('LLEN', runs) ~= position + 1 + removed then
  return {'changed'}
end
local change = change_of(stored, ARGV[9])
local time, deadline = place(stored, ARGV[3], ARGV[4])
local bytes = stored.bytes
if operation == 'edit' then
  redis.call('LSET', runs, position, given)
  bytes = bytes - #text + #given
elseif operation == 'truncate' then
  for _, cut in ipairs(redis.call('LRANGE', runs, position + 1, -1)) do
    bytes = bytes - #cut
    if change then table.insert(change.gone, redis.sha1hex(cut):sub(1, 16)) end
  end
  redis.call('LTRIM', runs, 0, position)
else
  local tombstone = 'removed ' .. redis.sha1hex(text)
  redis.call('LSET', runs, position, tombstone)
  redis.call('LREM', runs, 1, tombstone)
  bytes = bytes - #text
end
if #ARGV > 9 then
  local known = redis.call('GET', ids) or ''
  for i = 10, #ARGV do
    local place = place_in(known, ARGV[i])
    if place then known = known:sub(1, place - 1) .. known:sub(place + 8) end
  end
  if known ~= '' then remember(known, {''}) else redis.call('UNLINK', ids) end
end
expire(stored, deadline, stored.size)
local count = redis.call('LLEN', runs)
local fields = {'runs', count, 'bytes', math.max(bytes, 0)}
index(stored, change, time, stored.size, fields)
note(stored, time, deadline, ARGV[3], fields)
return answer(count)
