"""Pages of talk and its API paths."""

from django.urls import path

from realtime import api as doors
from realtime import bell_api, bell_views, people_api, people_views, report_api, report_views, views

urlpatterns = [
    path("chat/", views.chat_page, name="chat"),
    path("chat/shown/", views.shown, name="chat_shown"),
    path("chat/<id:pk>/", views.room_page, name="room"),
    path("chat/<id:pk>/<int:seq>/hide/", views.message_hide, name="message_hide"),
    path("chat/<id:pk>/people/", people_views.people_page, name="people"),
    path("chat/<id:pk>/mute/", people_views.room_mute, name="room_mute"),
    path("chat/<id:pk>/leave/", people_views.room_leave, name="room_leave"),
    path("chat/<id:pk>/come-back/", people_views.room_come_back, name="room_come_back"),
    path("chat/<id:pk>/people/<id:member_id>/talk/", people_views.person_talk, name="person_talk"),
    path("chat/<id:pk>/people/<id:member_id>/block/", people_views.person_block, name="person_block"),
    path("chat/<id:pk>/people/<id:member_id>/remove/", people_views.person_remove, name="person_remove"),
    path("chat/<id:pk>/people/<id:member_id>/readmit/", people_views.person_readmit, name="person_readmit"),
    path("chat/requests/<id:pk>/<slug:answer>/", people_views.talk_answer, name="talk_answer"),
    path("me/blocked/", people_views.blocked, name="blocked"),
    path("chat/<id:pk>/people/<id:member_id>/report/", report_views.person_report, name="person_report"),
    path("notifications/", bell_views.notification_list, name="notifications"),
    path("notifications/read/", bell_views.notifications_read, name="notifications_read"),
    path("notifications/<id:pk>/remove/", bell_views.notification_remove, name="notification_remove"),
    path("chat/<id:pk>/<int:seq>/report/", report_views.message_report, name="message_report"),
    path("chat/reports/", report_views.report_list, name="reports"),
    path("chat/reports/<id:pk>/", report_views.report_page, name="report"),
]

api = [
    path("rooms/", doors.RoomList.as_view(), name="api_rooms"),
    path("rooms/<id:pk>/", doors.RoomDetail.as_view(), name="api_room"),
    path("rooms/<id:pk>/participants/", doors.ParticipantList.as_view(), name="api_participants"),
    path("rooms/<id:pk>/participants/me/", people_api.Me.as_view(), name="api_participation"),
    path("rooms/<id:pk>/entries/", doors.Entries.as_view(), name="api_entries"),
    path("rooms/<id:pk>/history/", doors.History.as_view(), name="api_history"),
    path("members/<id:pk>/talk/", people_api.Talk.as_view(), name="api_talk"),
    path("talk-requests/", people_api.TalkRequests.as_view(), name="api_talk_requests"),
    path("talk-requests/<id:pk>/accept/", people_api.TalkAccept.as_view(), name="api_talk_accept"),
    path("talk-requests/<id:pk>/decline/", people_api.TalkDecline.as_view(), name="api_talk_decline"),
    path("blocks/", people_api.Blocks.as_view(), name="api_blocks"),
    path("blocks/<id:pk>/", people_api.BlockDetail.as_view(), name="api_block"),
    path("notifications/", bell_api.Notifications.as_view(), name="api_notifications"),
    path("notifications/read/", bell_api.NotificationsRead.as_view(), name="api_notifications_read"),
    path("notifications/<id:pk>/", bell_api.NotificationDetail.as_view(), name="api_notification"),
    path("reports/", report_api.Reports.as_view(), name="api_reports"),
    path("reports/<id:pk>/", report_api.ReportDetail.as_view(), name="api_report"),
]
