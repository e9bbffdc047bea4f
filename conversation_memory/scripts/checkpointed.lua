-- needs: common
-- Stands before the scripts on checkpoints. The hash of a conversation has as fields, in which each
-- part of a name but the last has its length and a colon before it:
--   c <namespace> <checkpoint>   a checkpoint: parts with their lengths, the last one the names of
--                                the values of its channels, which are parts too
--   n <namespace>                the newest checkpoint
--   b <namespace> <channel> <version>   a value; '0:' and the numbers of its messages for a list
--                                of messages, such as '0:1-5,9-9'
--   m <number>, d <digest>       a message, and its number
--   i <namespace> <checkpoint>   the names of its pending writes, as parts
--   w <namespace> <checkpoint as a part> <name>   a pending write
--   r <run>                      there are checkpoints of this run of the graph
--   messages                     how many messages were numbered
--   shown, shown version, showing   see checkpoint.lua
-- With ENCRYPTION, what a serializer has made is encrypted: see encryption/checkpoint_fields.py.

local function unpacked(text)
  local parts, at = {}, 1
  while at <= #text do
    local colon = text:find(':', at, true)
    local size = colon and tonumber(text:sub(at, colon - 1))
    if not size then break end
    parts[#parts + 1] = text:sub(colon + 1, colon + size)
    at = colon + size + 1
  end
  return parts
end

local function packed(text)
  return #text .. ':' .. text
end

-- The names of the values of a checkpoint.
local function values_of(text)
  local parts = unpacked(text)
  return unpacked(parts[#parts] or '')
end

-- The numbers of the messages of a value; nil for any other value.
local function numbers_of(value)
  if value:sub(1, 2) ~= '0:' then return nil end
  local numbers = {}
  for first, last in value:gmatch('(%d+)-(%d+)') do
    for number = tonumber(first), tonumber(last) do numbers[#numbers + 1] = number end
  end
  return numbers
end
