// What a board's JSON has to be, put together from Grafana's own types, which by
// themselves leave open what the parts of a panel are. The test writes each board
// into a file as a literal of Board, so that the compiler complains of what is
// missing, of what has the wrong type and of what Grafana does not know.
import type { AnnotationQuery, Dashboard, DataQuery, DataSourceRef, FieldColor, FieldConfig, MatcherConfig, Panel } from '@grafana/schema';
import type * as bars from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as series from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON has the values of enumerations, not their names.
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;

// The data sources that are provisioned, and the one that a board's reader picks.
interface Source extends DataSourceRef {
  type: 'prometheus' | 'grafana';
  uid: 'prometheus' | '${datasource}' | '-- Grafana --';
}

// A query to Prometheus; its type is not in @grafana/schema.
interface Target extends DataQuery {
  datasource: Source;
  expr: string;
  legendFormat: string;
  instant: boolean;
  range: boolean;
  format: 'time_series' | 'table';
  editorMode: 'code';
}

// The path of a field's property, with its value.
type Property =
  | { id: 'color'; value: FieldColor }
  | { [K in keyof series.FieldConfig & string]-?: { id: `custom.${K}`; value: NonNullable<series.FieldConfig[K]> } }[keyof series.FieldConfig & string];

interface Override {
  matcher: MatcherConfig<string> & { id: 'byName' | 'byFrameRefID'; options: string };
  properties: Property[];
}

interface Field<Custom> extends Omit<FieldConfig, 'custom'> {
  unit: string;
  custom?: Custom;
}

// What a panel must have here, although Grafana could do without.
interface Kind<Type extends string, Options, Custom> extends Omit<Panel, 'fieldConfig' | 'libraryPanel' | 'options' | 'targets'> {
  type: Type;
  id: number;
  title: string;
  description: string;
  gridPos: NonNullable<Panel['gridPos']>;
  datasource: Source;
  targets: Target[];
  options: Options;
  fieldConfig: { defaults: Field<Custom>; overrides: Override[] };
}

type AnyPanel =
  | Kind<'timeseries', series.Options, series.FieldConfig>
  | Kind<'stat', stat.Options, never>
  | Kind<'bargauge', bars.Options, never>
  | Kind<'table', table.Options, table.FieldConfig>;

// An annotation of the Prometheus data source.
interface Annotation extends Omit<AnnotationQuery, 'target' | 'snapshotData'> {
  datasource: Source;
  target?: { refId: string; expr: string; interval: string };
  titleFormat?: string;
  textFormat?: string;
  useValueForTime?: 'on';
}

interface Exact extends Omit<Dashboard, 'panels' | 'annotations'> {
  uid: string;
  title: string;
  panels: AnyPanel[];
  annotations: { list: Annotation[] };
}

export type Board = Plain<Exact>;
