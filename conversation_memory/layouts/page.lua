-- A page of an order, newest first, from behind a place in it.
--
-- The place is a score and an id. If the id has moved since, or is gone, its old place is found by
-- bisection among those of the same score, which Redis keeps in the order of their bytes.
--
-- KEYS  order
-- ARGV  limit [, score, id]
-- Returns {id, score, id, score, ...}.
local order, limit, score, id = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]

-- Bytes, not strcoll(): Lua's own `<` follows the server's locale.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    if a:byte(i) ~= b:byte(i) then return a:byte(i) < b:byte(i) end
  end
  return #a < #b
end

local function start()
  if not score then return 0 end
  if tonumber(redis.call('ZSCORE', order, id)) == tonumber(score) then
    return redis.call('ZREVRANK', order, id) + 1
  end
  local low = redis.call('ZCOUNT', order, '(' .. score, '+inf')
  local high = low + redis.call('ZCOUNT', order, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local other = redis.call('ZREVRANGE', order, middle, middle)[1]
    if before(other, id) then high = middle else low = middle + 1 end
  end
  return low
end

local first = start()
return redis.call('ZREVRANGE', order, first, first + limit - 1, 'WITHSCORES')
