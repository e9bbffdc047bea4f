-- needs: common
-- Continue a scan of the hash and list conversations of other programs, as of now: the time of
-- their last write is not known. Expired ones are left to the reaper. Then the newest conversations.
-- KEYS  content, recent, expiry [, the call (conversation.lua)]
-- ARGV  cursor, about how many fields (0 none), how many of the newest (0 none)
-- Returns {next cursor, how many were not listed, conversations, listed ones, {id, score, ...}}.
local found, step = {ARGV[1], {}}, 1
if ARGV[2] ~= '0' then
  found = redis.pcall('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2], 'NOVALUES')
  if found.err then  -- before Redis 7.4 the values come along, and Lua copies them
    found, step = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', math.ceil(ARGV[2] / 10)), 2
  end
end
local cursor, fields = unpack(found)
local conversations, listed = redis.call('HLEN', KEYS[1]), redis.call('ZCARD', KEYS[2])
local known = KEYS[4] and redis.call('GET', KEYS[4]) or 0  -- of when this was sent before
local adopted, ids = 0, {}
for i = 1, #fields, step do ids[#ids + 1] = fields[i] end
local scores = {}
for i = 1, #ids, MANY do
  local part = {unpack(ids, i, math.min(i + MANY - 1, #ids))}
  for j, score in ipairs(redis.call('ZMSCORE', KEYS[2], unpack(part))) do scores[i + j - 1] = score end
end
for i, id in ipairs(ids) do
  if not scores[i] then
    local deadline = tonumber(redis.call('ZSCORE', KEYS[3], id) or nil)
    -- A replica, or a user who may only read, lists what is listed.
    local fine, added = pcall(function()
      return deadline and deadline <= clock() and 0 or redis.pcall('ZADD', KEYS[2], clock(), id)
    end)
    if fine and type(added) == 'number' then adopted = adopted + added end
  end
end
if KEYS[4] and adopted > 0 then redis.pcall('SET', KEYS[4], adopted, 'PX', 300000) end
local newest = {}
if ARGV[3] ~= '0' then
  newest = redis.call('ZREVRANGE', KEYS[2], 0, ARGV[3] - 1, 'WITHSCORES')
end
return {cursor, known + adopted, conversations, listed + adopted, newest}
