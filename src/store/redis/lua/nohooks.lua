local hook = nil

