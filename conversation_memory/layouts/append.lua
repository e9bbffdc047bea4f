-- Layout `list`: add runs that are not among the last ones.
--
-- ARGV  id, owner, lifetime, default lifetime, the empty document, its seal, version ('' any; with
--       one, the runs are known to be new), most bytes, change of search documents (a document of
--       each run), then of each run its id as JSON and its text
-- Returns {added, version}, a refusal (prelude.lua), {'large', bytes}, or {'changed'} if the version
-- is another, or another program wrote the field.
local KEPT = 32  -- ids to remember: as many appends may come between one and its repetition
local ROOM = 40 * KEPT  -- for that many uuids; to count what fits would take a fifth of the time

local stored = open()

-- The last of the ids known so far and of the new ones.
local function remembered(new)
  local ids = stored.ids .. table.concat(new, '', math.max(1, #new - KEPT + 1))
  if #ids <= ROOM then return ids end
  local _, lines = ids:gsub('\n', '')
  local first = 1
  for _ = KEPT + 2, lines do first = ids:find('\n', first + 1, true) end
  return ids:sub(first)
end

local refused = refusal(stored)
if refused then return refused end
if not stored.exists then
  stored.seal, stored.ids, stored.bytes = ARGV[6], '\n', 0
elseif tonumber(stored.seal:match('^list%-(%d+)')) ~= stored.size then
  return {'changed'}
end
if ARGV[7] ~= '' and stored.version ~= tonumber(ARGV[7]) then return {'changed'} end

local size, new, ids = stored.bytes, {}, {}
local change, documents = change_of(stored, ARGV[9]), {}
for i = 10, #ARGV, 2 do
  if ARGV[7] ~= '' or ARGV[i] == '' or not stored.ids:find('\n' .. ARGV[i] .. '\n', 1, true) then
    new[#new + 1] = ARGV[i + 1]
    size = size + #ARGV[i + 1]
    if ARGV[i] ~= '' then ids[#ids + 1] = ARGV[i] .. '\n' end
    if change then
      local document = change.documents[i / 2 - 4]
      if #document % 2 == 1 then document[#document + 1] = ARGV[i + 1] end
      documents[#documents + 1] = document
    end
  end
end
if size > tonumber(ARGV[8]) then return {'large', size} end
if #new == 0 then return {0, 0} end
need('zadd', 'rpush', 'hset')
local time, deadline = place(stored, ARGV[3], ARGV[4])
if not stored.exists then redis.call('DEL', runs) end
local count
for _, text in ipairs(new) do count = redis.call('RPUSH', runs, text) end
if not stored.exists then redis.call('HSET', content, id, ARGV[5]) end
expire(stored, deadline)
if change then change.documents = documents end
local fields = {'runs', count, 'seal', stored.seal, 'ids', remembered(ids), 'bytes', size}
index(stored, change, time, stored.exists and stored.size or #ARGV[5], fields)
return {#new, note(stored, time, deadline, ARGV[3], fields)}
