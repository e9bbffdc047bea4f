-- needs: conversation, documents
-- Layout `list`: edit or remove the run at an index, or some from the end up to it, if it is still
-- there.
-- ARGV  id, owner, lifetime, default lifetime, 'edit' | 'remove' | 'truncate', index, text of the
--       run there, its new text ('edit'), change of search documents, for 'truncate' without those
--       that go; the digest of the id of one that is removed, and how many runs there must be ('' any)
-- Returns the number of runs left, a refusal (conversation.lua), or {'changed'}. After a 'truncate',
-- more than `index + 1` are left where removing all at once would have taken long.
local operation, position, text, given = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local CUT, ROOM = 1000, 2097152  -- runs and bytes that are removed at once
local stored, refused = enter()
if refused then return refused end
if not stored.exists or redis.call('LINDEX', runs, position) ~= text then return {'changed'} end
if ARGV[11] ~= '' and redis.call('LLEN', runs) ~= tonumber(ARGV[11]) then return {'changed'} end
local change = change_of(stored, ARGV[9])
local time, deadline = place(stored, ARGV[3], ARGV[4])
local bytes, count, known = stored.bytes, redis.call('LLEN', runs), redis.call('GET', ids) or ''
local before = #known
if operation == 'edit' then
  redis.call('LSET', runs, position, given)
  bytes = bytes - #text + #given
elseif operation == 'truncate' then
  local most = math.min(change and DOCUMENTS or CUT, math.floor(ROOM * count / math.max(bytes, 1)))
  local left = math.max(position + 1, count - math.max(most, 1))
  for _, cut in ipairs(redis.call('LRANGE', runs, left, -1)) do
    bytes = bytes - #cut
    if change then table.insert(change.gone, redis.sha1hex(cut):sub(1, 16)) end
  end
  redis.call('LTRIM', runs, 0, left - 1)
  known = known:sub(1, math.max(0, #known - 8 * (count - left)))  -- they are those of the last runs
else
  local tombstone = 'removed ' .. redis.sha1hex(text)
  redis.call('LSET', runs, position, tombstone)
  redis.call('LREM', runs, position < count / 2 and 1 or -1, tombstone)
  bytes = bytes - #text
  local place = place_in(known, ARGV[10])
  if place then known = known:sub(1, place - 1) .. known:sub(place + 8) end
end
if #known < before then
  if known ~= '' then remember('', {known}) else redis.call('UNLINK', ids) end
end
expire(stored, deadline, stored.size)
count = redis.call('LLEN', runs)
local fields = {'runs', count, 'bytes', math.max(bytes, 0)}
index(stored, change, time, stored.size, fields)
note(stored, time, deadline, ARGV[3], fields)
return answer(count)
