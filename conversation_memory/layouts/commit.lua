-- After the HSET of a document, in the same MULTI: write what goes with it, or take it back.
--
-- KEYS  content, record, aside, recent [, order of the owner]
-- ARGV  id, owner ('' none), number of runs, seal
-- Returns the new version, or false after a refusal of guard.lua.
local content, record, aside, recent = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, owner, runs, seal = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if redis.call('EXISTS', aside) == 1 then
  local document = redis.call('HGET', aside, 'document')
  redis.call('DEL', aside)
  if document then
    redis.call('HSET', content, id, document)
  else
    redis.pcall('HDEL', content, id)
  end
  return false
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', record, 'updated', now, 'runs', runs, 'seal', seal)
redis.call('ZADD', recent, now, id)
if owner ~= '' then
  redis.call('HSET', record, 'owner', owner)
  redis.call('ZADD', KEYS[5], now, id)
end
return redis.call('HINCRBY', record, 'version', 1)
