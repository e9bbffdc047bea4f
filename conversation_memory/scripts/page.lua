-- A page of a recency index, newest or oldest first, from a page key on. The page key is a score
-- and an id. If the id has moved or was deleted since, its old rank is found by bisection among
-- those of the same score, which Redis keeps in the order of their bytes.
-- KEYS  order
-- ARGV  limit [, score ('' from the beginning), id [, 'oldest' if that comes first]]
-- Returns {id, score, id, score, ...}.
local order, limit, score, id = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]
local oldest = ARGV[4] == 'oldest'
local rank, range = oldest and 'ZRANK' or 'ZREVRANK', oldest and 'ZRANGE' or 'ZREVRANGE'

-- Bytes, not strcoll(): Lua's own `<` follows the server's locale.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    if a:byte(i) ~= b:byte(i) then return a:byte(i) < b:byte(i) end
  end
  return #a < #b
end

local first = 0
if score and score ~= '' and tonumber(redis.call('ZSCORE', order, id)) == tonumber(score) then
  first = redis.call(rank, order, id) + 1
elseif score and score ~= '' then
  first = redis.call('ZCOUNT', order, oldest and '-inf' or '(' .. score,
    oldest and '(' .. score or '+inf')
  local last = first + redis.call('ZCOUNT', order, score, score)
  while first < last do
    local middle = math.floor((first + last) / 2)
    local other = redis.call(range, order, middle, middle)[1]
    local is_behind = oldest and before(id, other) or not oldest and before(other, id)
    if is_behind then last = middle else first = middle + 1 end
  end
end
return redis.call(range, order, first, first + limit - 1, 'WITHSCORES')
