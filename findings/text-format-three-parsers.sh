#!/bin/bash
# Prometheus text format: blanks and signs that the format allows split its three Go parsers.
#
# Version:  github.com/prometheus/prometheus v0.315.0 (model/textparse), github.com/prometheus/common
#           v0.72.0 (expfmt), github.com/VictoriaMetrics/VictoriaMetrics v1.130.0 (lib/protoparser/prometheus).
# Expected: text format 0.0.4 ignores white space at both ends of a line, reads a value as Go's ParseFloat
#           does and a timestamp as ParseInt does; the example in its documentation has a sample from
#           before 1970. So all three read each line below as a sample of a with the value 1.
# Observed: Prometheus takes the white space before a name for a part of the name, which passes since
#           names may be any UTF-8: the sample is stored as " a", without an error. It refuses the
#           exposition for a timestamp with a sign, and so its documentation's example. expfmt takes a
#           blank behind the value for an empty timestamp and refuses the exposition. VictoriaMetrics
#           skips the line if value or timestamp has a plus sign.
# Output:   " a 1\n"              textparse " a" 1    expfmt "a" 1    VictoriaMetrics "a" 1
#           "a 1 \n"              textparse "a" 1     expfmt refused  VictoriaMetrics "a" 1
#           "a +1\n"              textparse "a" 1     expfmt "a" 1    VictoriaMetrics refused
#           "a 1 -5000000000\n"   textparse refused   expfmt "a" 1    VictoriaMetrics "a" 1
#           "a 1 +5000000000\n"   textparse refused   expfmt "a" 1    VictoriaMetrics refused
#           " a" is a valid name: true
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require (
	github.com/VictoriaMetrics/VictoriaMetrics v1.130.0
	github.com/prometheus/common v0.72.0
	github.com/prometheus/prometheus v0.315.0
)
E
cat > main.go <<'E'
package main

import (
	"fmt"
	"io"
	"strings"

	vm "github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

const refused = "refused"

func ofPrometheus(line string) string {
	parser := textparse.NewPromParser([]byte(line), labels.NewSymbolTable(), false)
	read := refused
	for {
		switch entry, err := parser.Next(); {
		case err == io.EOF:
			return read
		case err != nil:
			return refused
		case entry == textparse.EntrySeries:
			var l labels.Labels
			parser.Labels(&l)
			_, _, value := parser.Series()
			read = fmt.Sprintf("%q %v", l.Get(labels.MetricName), value)
		}
	}
}

func ofExpfmt(line string) string {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(line))
	if err != nil {
		return refused
	}
	for name, family := range families {
		return fmt.Sprintf("%q %v", name, family.Metric[0].GetUntyped().GetValue())
	}
	return refused
}

func ofVictoriaMetrics(line string) string {
	var rows vm.Rows
	rows.UnmarshalWithErrLogger(line, func(string) {})
	if len(rows.Rows) == 0 {
		return refused
	}
	return fmt.Sprintf("%q %v", rows.Rows[0].Metric, rows.Rows[0].Value)
}

func main() {
	for _, line := range []string{" a 1\n", "a 1 \n", "a +1\n", "a 1 -5000000000\n", "a 1 +5000000000\n"} {
		fmt.Printf("%-21q textparse %-9s expfmt %-8s VictoriaMetrics %s\n",
			line, ofPrometheus(line), ofExpfmt(line), ofVictoriaMetrics(line))
	}
	fmt.Printf("%q is a valid name: %v\n", " a", model.UTF8Validation.IsValidMetricName(" a"))
}
E
output=$(GOFLAGS=-mod=mod go run . 2> errors) || { cat errors; exit 1; }
observed='" a 1\n"              textparse " a" 1    expfmt "a" 1    VictoriaMetrics "a" 1
"a 1 \n"              textparse "a" 1     expfmt refused  VictoriaMetrics "a" 1
"a +1\n"              textparse "a" 1     expfmt "a" 1    VictoriaMetrics refused
"a 1 -5000000000\n"   textparse refused   expfmt "a" 1    VictoriaMetrics "a" 1
"a 1 +5000000000\n"   textparse refused   expfmt "a" 1    VictoriaMetrics refused
" a" is a valid name: true'
echo 'version:  prometheus v0.315.0, common v0.72.0, VictoriaMetrics v1.130.0'
echo 'expected: each line is a sample of a with the value 1'
echo 'observed: each parser refuses or renames some'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
