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

// page is the Prometheus page: a pull reader of the SDK that always shows the
// newest reading, without timestamps, and beside it the seed's names.
type page struct {
	reader  sdkmetric.Reader
	handler http.Handler
	text    *pageText
	// registry is the page as the exporter's registry writes it, without compression.
	registry http.Handler
}

func newPage(p *Exporter) (*page, error) {
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(),
		// host_name on every series is the host's identity, in the store and on
		// the page alike.
		otelprometheus.WithResourceAsConstantLabels(attribute.NewAllowKeysFilter("host.name")),
	)
	if err != nil {
		return nil, fmt.Errorf("prometheus page: %w", err)
	}
	if p.options.Config.Prometheus.NodeExporter {
		if err := registry.Register(newSeedNames(p.machine, p.options.HostName)); err != nil {
			return nil, fmt.Errorf("prometheus page: %w", err)
		}
	}
	inRegistry := promhttp.HandlerFor(gatherer{registry, customPage{p.machine, p.options.HostName}}, promhttp.HandlerOpts{
		EnableOpenMetrics:  true,
		ErrorHandling:      promhttp.ContinueOnError,
		ErrorLog:           scrapeLog{p.options.Log},
		DisableCompression: true,
	})
	// The handler's own compression is the thorough kind, which costs more than
	// making the page; names that repeat shrink to a tenth by the quick one too.
	compressed, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, fmt.Errorf("prometheus page: %w", err)
	}
	text := newPageText(reader, p.machine, p.options.HostName, p.options.Config.Prometheus.NodeExporter, inRegistry)
	return &page{reader, compressed(text), text, inRegistry}, nil
}

// gatherer gathers our metrics and, where there are any, the custom ones. To
// merge two lists means to check every series once more, so it is done only then.
type gatherer struct {
	ours   *prometheus.Registry
	custom customPage
}

// Gather implements prometheus.Gatherer.
func (g gatherer) Gather() ([]*dto.MetricFamily, error) {
	if reading, _ := g.custom.machine.Newest("custom"); reading == nil {
		return g.ours.Gather()
	}
	return prometheus.Gatherers{g.ours, g.custom}.Gather()
}

// scrapeLog gives what goes wrong on the page to the agent's log.
type scrapeLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) { l.log.Warn("prometheus page", "err", fmt.Sprint(v...)) }
