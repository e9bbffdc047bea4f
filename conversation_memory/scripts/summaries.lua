-- needs: summary
-- Some conversations without their content, all as they are at one moment; see summaries.py.
-- KEYS  content, recency index (of all or of one owner), then record and runs of each
-- ARGV  the largest field to look into in bytes (0 none), the bytes to look into in all, how many
--       fields of the record to fetch, their names ('expires' first), then the id of each
-- Returns the time if one of them has a deadline, then what summary.lua says of each, its score,
-- and what content_of() says.
local content, order = unpack(KEYS)
local largest, room, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local fields = {unpack(ARGV, 4, count + 3)}
local LOOKED_AT = 65536  -- bytes before the end of the runs, to find the last one in
local SHOWN = 1024

-- The beginning of the last output. `.*` takes as much as it can; anchored, it is tried once.
local function output_in(text)
  local at = text:match('^.*"output": (){')
  return at and text:sub(at, at + SHOWN) or false
end

-- Where the JSON value at a position ends.
local function behind(text, at)
  local depth = 0
  while at do
    local character = text:sub(at, at)
    if character == '"' then
      at = text:find('["\\]', at + 1)
      while at and text:sub(at, at) == '\\' do at = text:find('["\\]', at + 2) end
    else
      depth = depth + (character:find('[%[{]') and 1 or -1)
    end
    if at and depth == 0 then return at + 1 end
    at = at and text:find('["%[%]{}]', at + 1)
  end
end

-- The same of an array: id, input, output.
local function third_of(text)
  local at = 1
  for _ = 1, 2 do at = at and behind(text, at + 1) end
  return at and text:sub(at + 1, at + 1 + SHOWN) or false
end

-- The first and the last byte, which tell what is not an object, and the start of the last output.
local function content_of(id, runs, size, is_list)
  if is_list then
    local text = tolerant('LINDEX', runs, -1)
    local find = text and text:sub(1, 1) == '[' and third_of or output_in
    return '', text and #text <= largest and find(text)
  end
  if size > largest or size > room then return '', false end
  room = room - size
  local field = redis.call('HGET', content, id)
  local tail = field:sub(-LOOKED_AT)
  local stop = tail:match('^.*()%], "metadata": ')
  return field:sub(1, 1) .. field:sub(-1), output_in(stop and tail:sub(1, stop) or tail)
end

local found = {false}
for i = count + 4, #ARGV do
  local id, record, runs = ARGV[i], KEYS[2 * (i - count) - 5], KEYS[2 * (i - count) - 4]
  local row = summary_of(content, id, record, runs, fields)
  -- Only then: a user who may only read may lack TIME, which is not in @read.
  if row[5][1] then found[1] = found[1] or clock() end
  row[6] = tolerant('ZSCORE', order, id) or false
  if largest > 0 and row[1] >= 0 then
    row[7], row[8] = content_of(id, runs, row[1], row[4] > 0)
  end
  found[#found + 1] = row
end
return found
