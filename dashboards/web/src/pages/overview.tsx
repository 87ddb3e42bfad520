import { Fragment } from 'preact'
import { Alone } from '../parts/alone'
import { ActiveAlerts } from '../parts/alerts'
import { Custom } from '../parts/custom'
import { HostFacts } from '../parts/facts'
import { Events } from '../parts/events'
import { Meters } from '../parts/meters'
import { PanelById } from '../parts/panel'
import { Sections } from '../parts/sections'
import { StatusSentence } from '../parts/status'
import { view } from '../state'
import { boards, isInstant, panels } from '../panels'

// The overview: status sentence, alerts, meters and charts. What the meters show has no
// panel.

// These are above the fold.
const first = ['cpu', 'memory', 'disk_io_total', 'network_total']

export function Overview() {
  if (view.value.own.full) return <Alone id={view.value.own.full} />
  const rest = (boards.find((b) => b.id === 'overview')?.panels ?? []).filter((id) => !first.includes(id) && !(isInstant(panels.get(id)!) && panels.get(id)!.draw !== 'bars'))
  return (
    <>
      <StatusSentence />
      <ActiveAlerts />
      <Meters />
      <HostFacts />
      <div class="grid">
        {[...first, ...rest].map((id) => <Fragment key={id}><PanelById id={id} />{id === 'disk_space' && <Events />}</Fragment>)}
      </div>
      <Custom />
      <Sections />
    </>
  )
}
