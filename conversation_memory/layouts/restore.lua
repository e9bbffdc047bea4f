-- Restore conversations that are not there: all of each but the field, which an HSET writes behind
-- this, in the same MULTI, because Lua copies its arguments. Lists were pushed to `aside` before.
--
-- KEYS  content, recent, expiry, refused; then of each record, runs, aside, order of its owner
-- ARGV  of each id, place ('' none, 'now'), deadline ('' none), whether it has an owner, whether it
--       has a list, and how many arguments follow: fields and values of its record
-- Returns for each whether there was nothing yet. Where that is 0, nothing was done but that
-- `refused` has what stands in the field, for restored.lua: the HSET cannot be made conditional.
local content, recent, expiry, refused = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

for _, command in ipairs(redis.acl_check_cmd and {'zadd', 'hset', 'hget', 'exists'} or {}) do
  if not redis.acl_check_cmd(command, content, '0', '0') then
    return redis.error_reply("NOPERM this user may not run '" .. command .. "'")
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function restore(id, k, first)
  local record, runs, aside, owned = KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3]
  local place, deadline, owner, list, count = unpack(ARGV, first + 1, first + 5)
  if redis.call('EXISTS', record, runs) > 0 or redis.call('HEXISTS', content, id) == 1 then
    return false
  end
  if place == 'now' then place = now end
  if place ~= '' then
    redis.call('ZADD', recent, place, id)
    if owner == '1' then redis.call('ZADD', owned, place, id) end
  end
  if deadline ~= '' then redis.call('ZADD', expiry, deadline, id) end
  if list == '1' then redis.call('RENAME', aside, runs) end
  if tonumber(count) > 0 then
    -- What is begun anew must not come by a version it had before: see prelude.lua.
    redis.call('HSET', record, 'version', now + 1, unpack(ARGV, first + 6, first + 5 + count))
  end
  if ARGV[first + 1] == 'now' then redis.call('HSET', record, 'created', now, 'updated', now) end
  return true
end

local function refuse(id, record)
  local document = redis.call('HGET', content, id)
  redis.call('HSET', refused, (document and 'document ' or 'absent ') .. id, document or '')
  local deadline = document and redis.pcall('HMGET', record, 'expires')[1]
  if type(deadline) == 'string' then redis.call('HSET', refused, 'deadline ' .. id, deadline) end
end

local answers, failure, first = {}, nil, 1
for k = 5, #KEYS, 4 do
  local id = ARGV[first]
  local fine, restored = pcall(restore, id, k, first)
  if not fine then failure = type(restored) == 'table' and restored.err or restored end
  answers[#answers + 1] = fine and restored and 1 or 0
  if not (fine and restored) then
    if ARGV[first + 4] == '1' then redis.call('DEL', KEYS[k + 2]) end
    refuse(id, KEYS[k])
  end
  first = first + 6 + ARGV[first + 5]
end
return failure and redis.error_reply(failure) or answers
