-- needs: conversation, documents
-- Layout `list`: add runs that are not known yet.
-- ARGV  id, owner, lifetime, default lifetime, the empty document, its CRC-32, version ('' any;
--       with one, the runs are known to be new), most bytes, title ('' none), change of search
--       documents (a document of each run), then of each run the digest of its id and its text
-- Returns 'added version', a refusal (conversation.lua), {'large', bytes}, {'lost', runs} if so
-- many are missing, or {'changed'} if the version is another, or another program wrote the field.
local stored, refused = enter()
if refused then return refused end
local count, size, length = 0, 0, #ARGV[5]
if stored.exists then
  if stored.layout ~= 'list' or stored.length ~= stored.size then return {'changed'} end
  count, size, length = redis.call('LLEN', runs), stored.bytes, stored.size
  if count < stored.runs then return {'lost', stored.runs - count} end
end
if ARGV[7] ~= '' and stored.version ~= tonumber(ARGV[7]) then return {'changed'} end
local title = count == 0 and ARGV[9]  -- it is that of the first run
local new, digests, documents = {}, {}, {}
local change = change_of(stored, ARGV[10])
for i = 11, #ARGV, 2 do
  if ARGV[7] ~= '' or not (stored.exists and redis.call('ZSCORE', ids, ARGV[i])) then
    new[#new + 1] = ARGV[i + 1]
    size = size + #ARGV[i + 1]
    digests[#digests + 1] = ARGV[i]
    if change then
      local document = change.documents[(i - 9) / 2]
      if #document % 2 == 1 then document[#document + 1] = ARGV[i + 1] end
      documents[#documents + 1] = document
    end
  end
end
if size > tonumber(ARGV[8]) then return {'large', size} end
if #new == 0 then return '0 0' end
local time, deadline = place(stored, ARGV[3], ARGV[4])
local fields = {'bytes', size}
if not stored.exists then
  redis.call('DEL', runs, ids)
  redis.call('HSET', content, id, ARGV[5])
  fields = {'bytes', size, 'layout', 'list', 'length', length, 'crc', ARGV[6]}
end
for _, text in ipairs(new) do count = redis.call('RPUSH', runs, text) end
fields[#fields + 1], fields[#fields + 2] = 'runs', count
remember(digests)
expire(stored, deadline, length)
if change then change.documents = documents end
index(stored, change, time, length, fields)
return answer(#new .. ' ' .. note(stored, time, deadline, ARGV[3], fields, title))
