package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBill writes the bill of materials of a program, in CycloneDX: the modules that
// the linker names in it, Go itself and the npm packages of the page, with their
// licences.
func (r *release) writeBill(t target, program string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	licenses := licensesOf(string(r.texts.notices))
	bill := cdx.NewBOM()
	bill.Metadata = &cdx.Metadata{
		Timestamp: r.time.Format("2006-01-02T15:04:05Z"),
		Component: &cdx.Component{
			BOMRef: "sysotel", Type: cdx.ComponentTypeApplication, Name: "sysotel", Version: r.version.name,
			Licenses: &cdx.Licenses{{License: &cdx.License{ID: "MIT"}}},
		},
	}
	components := []cdx.Component{component("pkg:golang/std@"+strings.TrimPrefix(info.GoVersion, "go"), "std", info.GoVersion, licenses["Go standard library and runtime"])}
	for _, m := range info.Deps {
		if m.Replace != nil {
			return fmt.Errorf("%s is replaced", m.Path)
		}
		spdx := licenses[m.Path+" "+m.Version]
		if spdx == "" {
			return fmt.Errorf("the notices lack %s %s; run make golden", m.Path, m.Version)
		}
		components = append(components, component("pkg:golang/"+m.Path+"@"+m.Version, m.Path, m.Version, spdx))
	}
	var web []cdx.Component
	for module, spdx := range licenses {
		if npm, ok := strings.CutPrefix(module, "npm "); ok {
			name, version, _ := strings.Cut(npm, " ")
			web = append(web, component("pkg:npm/"+strings.ReplaceAll(name, "@", "%40")+"@"+version, name, version, spdx))
		}
	}
	slices.SortFunc(web, func(a, b cdx.Component) int { return strings.Compare(a.PackageURL, b.PackageURL) })
	components = append(components, web...)
	bill.Components = &components
	return create(r.file(t, ".cdx.json"), func(w io.Writer) error {
		return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bill)
	})
}

func component(url, name, version, spdx string) cdx.Component {
	return cdx.Component{
		BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: name, Version: version, PackageURL: url,
		Licenses: &cdx.Licenses{{Expression: spdx}},
	}
}

// licensesOf reads the list at the head of the notices: "module version: licences".
func licensesOf(notices string) map[string]string {
	found := map[string]string{}
	_, rest, _ := strings.Cut(notices, "\n\n")
	list, _, _ := strings.Cut(rest, "\n\n")
	for line := range strings.Lines(list) {
		if module, spdx, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			found[module] = spdx
		}
	}
	return found
}
