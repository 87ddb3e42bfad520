package instruments

import "bytes"

// unescapeOctal turns the kernel's \040 in a path back into a space.
func unescapeOctal(path []byte) string {
	if bytes.IndexByte(path, '\\') < 0 {
		return string(path)
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+3 < len(path) && isOctal(path[i+1], '3') && isOctal(path[i+2], '7') && isOctal(path[i+3], '7') {
			out = append(out, (path[i+1]-'0')<<6|(path[i+2]-'0')<<3|(path[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, path[i])
	}
	return string(out)
}

func isOctal(c, highest byte) bool { return '0' <= c && c <= highest }
