package instruments

// SpareFiles returns a very large number: Windows has no limit on open files.
func SpareFiles() (spare, limit int) { return 1 << 20, 1 << 20 }
