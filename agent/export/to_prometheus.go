package export

import (
	"compress/gzip"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// page is the scrape page: a pull reader of the SDK that returns the newest readings
// without timestamps, and the legacy names.
type page struct {
	reader  sdkmetric.Reader
	handler http.Handler
	text    *pageText
	// registry is the page as the exporter's registry writes it, uncompressed. It serves
	// what text does not, protobuf, and text is tested against it.
	registry http.Handler
}

func newPage(p *Exporter) (*page, error) {
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(),
		// host_name on every series identifies the host, in the store as on the page.
		otelprometheus.WithResourceAsConstantLabels(attribute.NewAllowKeysFilter("host.name")),
	)
	if err != nil {
		return nil, fmt.Errorf("scrape page: %w", err)
	}
	var nodes nodeViews
	if p.options.Config.Prometheus.NodeExporter == AllNodeNames {
		nodes = newNodeViews(p.options.Conventions)
	}
	var legacy []legacyName
	if p.options.Config.Prometheus.NodeExporter.legacy() {
		legacy = nodes.without(legacyNameTable())
		if err := registry.Register(newLegacyCollector(p.machine, p.options.HostName, legacy)); err != nil {
			return nil, fmt.Errorf("scrape page: %w", err)
		}
	}
	gathered := &gatherer{ours: registry, custom: customPage{p.machine, p.options.HostName}}
	inRegistry := promhttp.HandlerFor(gathered, promhttp.HandlerOpts{
		EnableOpenMetrics:  true,
		ErrorHandling:      promhttp.ContinueOnError,
		ErrorLog:           scrapeLog{p.options.Log},
		DisableCompression: true,
	})
	// The handler's own compression level costs more than building the page; the fastest
	// one shrinks the repetitive text to a tenth too.
	compressed, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, fmt.Errorf("scrape page: %w", err)
	}
	text := newPageText(reader, p.machine, p.options.HostName, legacy, nodes, inRegistry)
	if nodes != nil {
		gathered.nodes = text
	}
	return &page{reader, compressed(text), text, inRegistry}, nil
}

// gatherer gathers our metrics, the custom ones and those of node_exporter. Merging checks
// every series again, so it is done only if there are such.
type gatherer struct {
	ours   *prometheus.Registry
	custom customPage
	// nodes has the metrics of node_exporter, nil if they are not on the page.
	nodes *pageText
}

// Gather implements prometheus.Gatherer.
func (g *gatherer) Gather() ([]*dto.MetricFamily, error) {
	all := prometheus.Gatherers{g.ours}
	if reading, _ := g.custom.machine.Newest("custom"); reading != nil {
		all = append(all, g.custom)
	}
	if g.nodes != nil {
		all = append(all, prometheus.GathererFunc(g.nodes.gatherNodes))
	}
	if len(all) == 1 {
		return g.ours.Gather()
	}
	return all.Gather()
}

// scrapeLog writes errors of the page to the agent's log.
type scrapeLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	l.log.Warn("cannot write the scrape page", "err", fmt.Sprint(v...))
}
