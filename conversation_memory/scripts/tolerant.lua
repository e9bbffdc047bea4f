-- Stands before scripts on many conversations, of which one that is damaged costs only itself.

-- A number of a record; garbage counts as not there, and what Lua could not hold exactly.
local function number(text)
  return text and #text <= 15 and tonumber(text:match('^%d+$')) or nil
end

-- The reply of a command, nil if the key has another type; every other error is one.
local function tolerant(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not reply.err:find('WRONGTYPE', 1, true) then error(reply) end
end
