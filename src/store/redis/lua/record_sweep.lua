-- Ends some of the records whose time is over: so many, at most. Returns how many.
return sweep(tonumber(ARGV[6]))
