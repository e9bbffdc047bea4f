-- needs: tolerant
--
-- The summaries of some conversations: the record, the size, and the beginning of the last output.
--
-- KEYS  content, then for each conversation its record and the list of its runs
-- ARGV  the largest field to copy in bytes (0 none), the bytes to copy in all, ids
-- Returns for each {exists (0 or 1), owner, title, created, updated, runs, version, expires, layout,
-- length, crc, end, bytes, edges, beginning of the last output}. A key of another type counts as missing.
local LOOKED_AT = 65536  -- bytes before the end of the runs, to find the last one in
local SHOWN = 1024
local OUTPUT = '"output": {'
local largest, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000

-- The last position of `what` in `text`.
local function last(text, what)
  local found, start = nil, 1
  repeat
    local at = text:find(what, start, true)
    found, start = at or found, (at or 0) + 1
  until not at
  return found
end

local function beginning(text)
  local at = last(text, OUTPUT)
  return at and text:sub(at + #OUTPUT - 1, at + #OUTPUT + SHOWN)
end

-- The first and the last byte tell if a document is not an object, without parsing it.
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
    'owner', 'title', 'created', 'updated', 'runs', 'version', 'expires', 'layout', 'length', 'crc', 'end', 'bytes')
    or {false, false, false, false, false, false, false, false, false, false, false, false}
  local deadline, is_list = number(row[7]), row[8] == 'list'
  local past = deadline and deadline <= now
  local size = redis.call('HSTRLEN', KEYS[1], id)
  table.insert(row, 1, past and 0 or redis.call('HEXISTS', KEYS[1], id))
  row[13] = size + (is_list and number(row[13]) or 0)
  row[14], row[15] = '', false
  if row[1] == 1 and largest > 0 then
    if is_list then
      local text = tolerant('LINDEX', runs, -1)
      row[15] = text and #text <= largest and beginning(text) or false
    else
      row[14], row[15] = from_field(id, size)
    end
  end
  found[i - 2] = row
end
return found
