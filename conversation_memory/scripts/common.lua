-- Stands before every other part.

-- The server's time in milliseconds.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number of a record; garbage counts as not there, and what Lua could not hold exactly.
local function number(text)
  return text and #text <= 15 and not text:find('%D') and tonumber(text) or nil
end

-- The reply of a command, nil if the key has another type; every other error is one. A conversation
-- that is damaged must not cost the others that a script is about.
local function tolerant(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not reply.err:find('WRONGTYPE', 1, true) then error(reply) end
end

local MANY = 1000  -- arguments that Lua can hand over at once
