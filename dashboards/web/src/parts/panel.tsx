import { Chart } from '../chart/chart'
import { isInstant, panels } from '../panels'
import { Newest } from './newest'

// PanelById shows a panel of panels.json in its own way to draw.
export function PanelById({ id, height }: { id: string; height?: number }) {
  const panel = panels.get(id)
  if (!panel) return null
  return isInstant(panel) ? <Newest panel={panel} /> : <Chart panel={panel} {...(height ? { height } : {})} />
}
