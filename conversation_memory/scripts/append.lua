-- needs: conversation, documents
-- Append runs that are not known yet.
-- ARGV  id, owner, lifetime, default lifetime, layout, the empty document, its checksum, version (''
--       any; with one, the runs are known to be new), most bytes of the conversation, most bytes of
--       a document that is changed here, title ('' none), change of search documents (a document of
--       each run), then of each run what tells it (layout `list`: see remember(); `hash`: how it
--       begins), its text
-- Returns 'added version', a refusal (conversation.lua), {'large', bytes}, {'lost', runs} if so
-- many are missing, {'changed'} if the version is another, another program wrote the field, or only
-- the caller can tell, or {'long', fields of the record, field} for a longer document, to be changed
-- by the caller.
local layout, empty, version, most = ARGV[5], ARGV[6], ARGV[8], tonumber(ARGV[9])
local is_list, FIRST = is_list_form(layout), 13

-- How many runs a document has; see documents.py. There are fewer braces than commas to look at.
local function runs_before(document, ends)
  local count, position = 0, 11
  while position do
    position = document:find('{"type": "Run", "id": ', position, true)
    if not position or position > ends then break end
    count, position = count + 1, position + 22
  end
  return count
end

local stored, refused = enter()
if refused then return refused end
local count, size, length, known, ends = 0, 0, #empty, '', 10
if stored.exists then
  if stored.layout ~= layout or stored.length ~= stored.size then return {'changed'} end
  length = stored.size
  if is_list then
    count, size, known = redis.call('LLEN', runs), stored.bytes, redis.call('GET', ids) or ''
    stored.count = count
    if count < stored.runs then return {'lost', stored.runs - count} end
  else
    ends = stored.ends
    if not ends or length > LONG and not is_untouched() then return {'changed'} end
    if length > tonumber(ARGV[10]) then
      return {'long', redis.call('HMGET', record, 'owner', 'title', 'created', 'updated', 'runs',
        'version', 'expires', 'layout', 'length', 'crc', 'end', 'bytes'),
        redis.call('HGET', content, id)}
    end
    known = redis.call('HGET', content, id)
    if known:sub(ends + 1, ends + 15) ~= '], "metadata": ' then return {'changed'} end
    count = runs_before(known, ends)
  end
end
if version ~= '' and stored.version ~= tonumber(version) then return {'changed'} end
local title = count == 0 and ARGV[11]  -- it is that of the first run
local new, told, documents = {}, {}, {}
local change = change_of(stored, ARGV[12])
for i = FIRST, #ARGV, 2 do
  local entry, text = ARGV[i], ARGV[i + 1]
  local is_known = version == '' and (is_list and place_in(known, entry) or known:find(entry, 1, true))
  if is_known and not is_list then return {'changed'} end  -- or is it a run inside of another?
  if not is_known then
    new[#new + 1], told[#told + 1] = text, entry
    size = size + #text
    if change then
      local document = change.documents[(i - FIRST) / 2 + 1]
      if #document % 2 == 1 then document[#document + 1] = text end
      documents[#documents + 1] = document
    end
  end
end
if not is_list then size = length + size + 2 * #new end
if size > most then return {'large', size} end
if #new == 0 then return answer('0 0') end
local time, deadline = place(stored, ARGV[3], ARGV[4])
local fields = stored.exists and {} or {'layout', layout}
local function set(field, value)
  fields[#fields + 1], fields[#fields + 2] = field, value
end
if not stored.exists then redis.call('UNLINK', runs, ids) end
if is_list then
  if not stored.exists then
    redis.call('HSET', content, id, empty)
    set('length', length)
    set('crc', ARGV[7])
  end
  for _, text in ipairs(new) do redis.call('RPUSH', runs, text) end
  remember(known, told)
  set('bytes', size)
else
  if not stored.exists then known = empty end
  local text = (ends > 10 and ', ' or '') .. table.concat(new, ', ')
  redis.call('HSET', content, id, known:sub(1, ends) .. text .. known:sub(ends + 1))
  length = #known + #text
  set('length', length)
  set('crc', '')  -- whoever reads it has to look
  set('end', ends + #text)
end
set('runs', count + #new)
expire(stored, deadline, length)
if change then change.documents = documents end
index(stored, change, time, length, fields)
return answer(#new .. ' ' .. note(stored, time, deadline, ARGV[3], fields, title))
