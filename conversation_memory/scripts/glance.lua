-- needs: tolerant
--
-- What a list shows of some conversations: the record, the size, and where the last message begins.
--
-- KEYS  content, then of each the record and the list of its runs
-- ARGV  most bytes of a field to copy for its end (0 none), most bytes of all, ids
-- Returns for each {whether it exists, owner, title, created, updated, runs, version, seal, expires,
-- bytes, edges, beginning of the last output}. A key of another type counts as not there.
local LOOKED_AT = 65536  -- bytes before the end of the runs, to find the last one in
local SHOWN = 1024
local OUTPUT = '"output": {'
local largest, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000

-- The last place of `what` in `text`.
local function last(text, what)
  local found, start = nil, 1
  repeat
    local place = text:find(what, start, true)
    found, start = place or found, (place or 0) + 1
  until not place
  return found
end

local function beginning(text)
  local place = last(text, OUTPUT)
  return place and text:sub(place + #OUTPUT - 1, place + #OUTPUT + SHOWN)
end

-- The first and the last byte tell what is no object without its being read.
local function from_field(id, size)
  if size > largest or size > room then return '', false end
  room = room - size
  local field = redis.call('HGET', KEYS[1], id)
  local tail = field:sub(-LOOKED_AT)
  local stop = last(tail, '], "metadata": ')
  return field:sub(1, 1) .. field:sub(-1), beginning(stop and tail:sub(1, stop) or tail) or false
end

local found = {}
for i = 3, #ARGV do
  local id, record, runs = ARGV[i], KEYS[2 * i - 4], KEYS[2 * i - 3]
  local row = tolerant('HMGET', record,
    'owner', 'title', 'created', 'updated', 'runs', 'version', 'seal', 'expires', 'bytes')
    or {false, false, false, false, false, false, false, false, false}
  local seal, deadline = row[7] or '', number(row[8])
  local past = deadline and deadline <= now
  local is_list = seal:sub(1, 5) == 'list-'
  local size = redis.call('HSTRLEN', KEYS[1], id)
  table.insert(row, 1, past and 0 or redis.call('HEXISTS', KEYS[1], id))
  row[10] = size + (is_list and number(row[10]) or 0)
  row[11], row[12] = '', false
  if row[1] == 1 and largest > 0 then
    if is_list then
      local text = tolerant('LINDEX', runs, -1)
      row[12] = text and #text <= largest and beginning(text) or false
    else
      row[11], row[12] = from_field(id, size)
    end
  end
  found[i - 2] = row
end
return found
