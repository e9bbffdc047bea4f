-- Stands for documents.lua where SEARCH is off: writes change no documents.
local function change_of() end
local function lacks() return false end
local function index() end
local function keeps() return false end
local function schema_of() end
