-- needs: conversation, documents
-- Layout `hash`, encrypted: add a segment with runs that are not known yet; see segments.py.
-- ARGV  id, owner, lifetime, default lifetime, layout, version ('' any; with one, the runs are known to be
--       new), most bytes of the conversation, most bytes of a document that is changed here, title, end of the
--       document ('' for a new conversation), the segment (or the new document), how much further the runs
--       of the decrypted document end then, change of search documents (a document of each run), then of
--       each run what tells it
-- Returns 'added version', a refusal (conversation.lua), {'large', bytes}, {'changed'} if the version is
-- another, another program wrote the field, or only the caller can tell, {'behind', end, key} if the document
-- has another end (the key only if the caller has seen none), or {'long', fields of the record, field, what
-- tells its runs} for a longer document, to be changed by the caller.
local MOST = 32  -- segments, as a reader opens each for itself
local layout, version, most, bound, text = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[10], ARGV[11]
local stored, refused = enter()
if refused then return refused end
local told = {unpack(ARGV, 14)}
local known, count, ends = '', 0, 0
if stored.exists then
  -- Runs of whom it is not known which they are may be those that are to be added.
  known = redis.call('GET', ids) or ''
  if stored.layout ~= layout or stored.length ~= stored.size or (stored.ends or 10) <= 10
    or known == '' or stored.size > LONG and not is_untouched() then return {'changed'} end
  count, ends = stored.runs, stored.ends
end
if version ~= '' and stored.version ~= tonumber(version) then return {'changed'} end
local repeated = 0
for _, digest in ipairs(told) do
  if version == '' and place_in(known, digest) then repeated = repeated + 1 end
end
if repeated == #told then return answer('0 0') end
if repeated > 0 then return {'changed'} end
local size = (stored.exists and stored.size + 1 or 0) + #text
if size > most then return {'large', size} end
if stored.exists then
  local crc = redis.call('HGET', record, 'crc') or ''
  if stored.size <= tonumber(ARGV[8]) and bound ~= '' and bound ~= crc then return {'behind', crc, ''} end
  local field = redis.call('HGET', content, id)
  if #field > tonumber(ARGV[8]) then
    return {'long', redis.call('HMGET', record, 'owner', 'title', 'created', 'updated', 'runs',
      'version', 'expires', 'layout', 'length', 'crc', 'end', 'bytes'), field, known}
  end
  if field:sub(-22) ~= crc then return {'changed'} end
  if bound == '' then return {'behind', crc, field:match('^cm1%.([%w_-]+)%.') or ''} end
  local segments, last = 0, 0
  repeat
    segments, last = segments + 1, field:find('~', last + 1, true)
  until not last
  if segments >= MOST then return {'changed'} end
  text = field .. '~' .. text
elseif bound ~= '' then
  return {'behind', '', ''}
end
local change = change_of(stored, ARGV[13])
local time, deadline = place(stored, ARGV[3], ARGV[4])
if not stored.exists then redis.call('UNLINK', runs, ids) end
redis.call('HSET', content, id, text)
remember(known, told)
expire(stored, deadline, #text)
local fields = {'layout', layout, 'runs', count + #told, 'length', #text, 'crc', text:sub(-22),
  'end', ends + ARGV[12]}
index(stored, change, time, #text, fields)
return answer(#told .. ' ' .. note(stored, time, deadline, ARGV[3], fields, ARGV[9]))
