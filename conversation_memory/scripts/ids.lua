-- Layout `list`: the runs of the last hour by a digest of their id, so that an append that is
-- repeated finds them whatever came in between. In layout `hash`, the document tells.
local MANY = 1000  -- arguments that Lua can hand over at once

local function remember(digests)
  if #digests == 0 then return end
  local now = clock()
  redis.call('ZREMRANGEBYSCORE', ids, '-inf', now - IDS)
  for i = 1, #digests, MANY do
    local scored = {}
    for j = i, math.min(i + MANY - 1, #digests) do
      scored[#scored + 1] = now
      scored[#scored + 1] = digests[j]
    end
    redis.call('ZADD', ids, unpack(scored))
  end
  redis.call('PEXPIRE', ids, IDS)
end

local function unlearn(digests)
  for _, digest in ipairs(digests) do redis.call('ZREM', ids, digest) end
end
