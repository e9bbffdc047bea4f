-- Layout `list`: add runs that are not among the last ones.
--
-- ARGV  id, owner, lifetime, default lifetime, the empty document, its seal, version ('' any; with
--       one, the runs are known to be new), most bytes, then of each run its id as JSON and its text
-- Returns {added, version}, {'owner', its owner}, {'large', bytes}, or {'changed'} if the version is
-- another, or another program wrote the field.
local KEPT = 32  -- ids to remember: as many appends may come between one and its repetition

local exists = alive()
local other = other_owner(exists)
if other then return {'owner', other} end
local stored = redis.call('HMGET', record, 'seal', 'ids')
local seal, ids = stored[1] or '', stored[2] or '\n'
if not exists then
  seal, ids = ARGV[6], '\n'
elseif tonumber(seal:match('^list%-(%d+)')) ~= redis.call('HSTRLEN', content, id) then
  return {'changed'}
end
if ARGV[7] ~= '' and (number('version') or 0) ~= tonumber(ARGV[7]) then
  return {'changed'}
end

local size = exists and number('bytes') or 0
local new = {}
for i = 9, #ARGV, 2 do
  if ARGV[7] ~= '' or ARGV[i] == '' or not ids:find('\n' .. ARGV[i] .. '\n', 1, true) then
    new[#new + 1] = ARGV[i + 1]
    size = size + #ARGV[i + 1]
    if ARGV[i] ~= '' then ids = ids .. ARGV[i] .. '\n' end
  end
end
if size > tonumber(ARGV[8]) then return {'large', size} end
if #new == 0 then return {0, 0} end
local time, deadline = place(ARGV[3], ARGV[4])
if not exists then redis.call('DEL', runs) end
local count
for _, text in ipairs(new) do count = redis.call('RPUSH', runs, text) end
if not exists then redis.call('HSET', content, id, ARGV[5]) end
expire(deadline)
local _, many = ids:gsub('\n', '')
for _ = KEPT + 2, many do ids = ids:sub(ids:find('\n', 2, true)) end
local fields = {'runs', count, 'seal', seal, 'ids', ids, 'bytes', size}
return {#new, note(exists, time, deadline, ARGV[3], fields)}
