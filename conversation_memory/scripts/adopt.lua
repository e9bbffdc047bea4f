-- needs: common
--
-- Continue a scan of the hash and list conversations of other programs, as of now: the time of their
-- last write is not known. Expired ones are left to the reaper.
--
-- KEYS  content, recent, expiry, the call (conversation.lua)
-- ARGV  cursor, about how many fields
-- Returns {next cursor, how many were not listed, conversations, listed ones}.
local function scan()
  local found = redis.pcall('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2], 'NOVALUES')
  if not found.err then return found[1], found[2], 1 end
  -- Before Redis 7.4 the values come along, and Lua copies them.
  found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', math.ceil(ARGV[2] / 10))
  return found[1], found[2], 2
end

local cursor, fields, step = scan()
local conversations, listed = redis.call('HLEN', KEYS[1]), redis.call('ZCARD', KEYS[2])
local known = tonumber(redis.call('GET', KEYS[4]) or 0)  -- of when this was sent before

local deadlines = redis.call('EXISTS', KEYS[3]) == 1
local function is_past(id)
  local deadline = deadlines and tonumber(redis.call('ZSCORE', KEYS[3], id) or nil)
  return deadline and deadline <= clock()
end

local adopted = 0
for i = 1, #fields, step do
  if not redis.call('ZSCORE', KEYS[2], fields[i]) and not is_past(fields[i]) then
    -- A replica, or a user who may only read, lists what is listed.
    local fine, added = pcall(function() return redis.pcall('ZADD', KEYS[2], clock(), fields[i]) end)
    if fine and type(added) == 'number' then adopted = adopted + added end
  end
end
if adopted > 0 then redis.pcall('SET', KEYS[4], adopted, 'PX', 300000) end
return {cursor, known + adopted, conversations, listed + adopted}
