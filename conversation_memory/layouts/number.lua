-- A number of a record; garbage counts as not there, and what Lua could not hold exactly.
local function number(text)
  return text and #text <= 15 and tonumber(text:match('^%d+$')) or nil
end
