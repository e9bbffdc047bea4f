-- needs: common
-- Take in a conversation from another shard, of which lists, streams and checkpoints are here.
-- KEYS  content, record, recent, expiry, order of its owner (or of nobody), ids, open runs, list of
--       open runs, what has arrived, then of each further key the one to rename, and its name
-- ARGV  id, 1 if it has a field, field, when that expires (0 never), time of the last write and
--       deadline ('' none), 1 with an owner, ids, when they expire, when the open runs do, how many
--       fields and values of the record, of the open runs, and times and names in the list of those;
--       then all of them, and when each further key expires
-- Returns 1, 0 if it arrived before, or everything has, -1 if it is here otherwise, -2 if a key to
-- rename has expired.
local content, record, recent, expiry, owned, ids, open, opened, arrived = unpack(KEYS, 1, 9)
local FIRST, STAGED = 14, 10
local id, has_field, field, expires, score, deadline, has_owner = unpack(ARGV, 1, 7)
local name = 'conversation:' .. id
local is_over = redis.call('TYPE', arrived).ok == 'string'
if is_over or redis.call('SISMEMBER', arrived, name) == 1 then
  -- Written again, as WAIT waits only for a call that writes.
  if is_over then
    redis.call('SET', arrived, redis.call('GET', arrived))
  else
    redis.call('SREM', arrived, name)
    redis.call('SADD', arrived, name)
  end
  for i = STAGED, #KEYS, 2 do redis.call('UNLINK', KEYS[i]) end
  return 0
end
for _, order in ipairs({recent, expiry, owned, opened}) do redis.call('ZCARD', order) end
if redis.call('HEXISTS', content, id) == 1 or redis.call('EXISTS', record, open) > 0 then return -1 end
for i = STAGED, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 0 then return -2 end
  if redis.call('EXISTS', KEYS[i + 1]) == 1 then return -1 end
end

local at = FIRST
local function pairs_of(count, write)
  for i = at, at + count - 1, MANY do write(i, math.min(i + MANY, at + count) - 1) end
  at = at + count
end
local function expire(key, time)
  if time ~= '0' then redis.call('PEXPIREAT', key, time) end
end

if score ~= '' then redis.call('ZADD', recent, score, id) end
if score ~= '' and has_owner == '1' then redis.call('ZADD', owned, score, id) end
if deadline ~= '' then redis.call('ZADD', expiry, deadline, id) end
if has_field == '1' then
  redis.call('HSET', content, id, field)
  if expires ~= '0' then redis.pcall('HPEXPIREAT', content, expires, 'FIELDS', 1, id) end
end
if ARGV[8] ~= '' then redis.call('SET', ids, ARGV[8]) end
expire(ids, ARGV[9])
pairs_of(ARGV[11], function(i, j) redis.call('HSET', record, unpack(ARGV, i, j)) end)
pairs_of(ARGV[12], function(i, j) redis.call('HSET', open, unpack(ARGV, i, j)) end)
pairs_of(ARGV[13], function(i, j) redis.call('ZADD', opened, unpack(ARGV, i, j)) end)
expire(open, ARGV[10])
for i = STAGED, #KEYS, 2 do
  redis.call('PERSIST', KEYS[i])
  redis.call('RENAME', KEYS[i], KEYS[i + 1])
  expire(KEYS[i + 1], ARGV[at])
  at = at + 1
end
redis.call('SADD', arrived, name)
return 1
